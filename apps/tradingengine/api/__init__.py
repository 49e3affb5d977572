"""The HTTP API `/v1` and the WebSocket `/ws`: one folder per noun, all state in a typed object of the lifespan."""
