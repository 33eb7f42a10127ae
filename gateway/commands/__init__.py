"""The sub-commands of `vidu-gateway`. `gateway.cli` defines the command line."""
