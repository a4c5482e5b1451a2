"""Chromium without a window: loads a page over the edge's TLS and runs its script."""

import subprocess


def a_page_is_loaded_and_its_script_runs(place):
    host = place.host("odd")
    words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--ignore-certificate-errors"]
    rules = f"--host-resolver-rules=MAP {host} 127.0.0.1"
    done = subprocess.run([*words, rules, f"--user-data-dir={place.directory}/chromium", "--dump-dom", f"https://{host}:{place.tls}/page"], capture_output=True, text=True, timeout=90)
    assert '<p id="p">new</p>' in done.stdout, done.stdout + done.stderr[-2000:]
