-- The figures of a run of wrk as one line that a program can read. Times are microseconds.
function done(summary, latency, requests)
   local errors = summary.errors
   local wrong = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      'FIGURES {"requests": %d, "us": %d, "bytes": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
      summary.requests, summary.duration, summary.bytes, wrong, latency:percentile(50), latency:percentile(99)))
end
