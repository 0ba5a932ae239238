"""Labels over a network: WebSocket streams and HTTP, on starlette and uvicorn (extra `serve`)."""
