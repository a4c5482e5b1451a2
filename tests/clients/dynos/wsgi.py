"""What gunicorn serves: says what came, connection by connection."""


def application(environ, start_response):
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        size += len(piece)
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return (b"line\n" for _ in range(1000))
    body = f"{environ['REQUEST_METHOD']} {size} {environ['REMOTE_PORT']} {environ['SERVER_PROTOCOL']}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
