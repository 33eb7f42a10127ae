"""The scripts on a real server against a model in plain Python, driven by what hypothesis invents."""
