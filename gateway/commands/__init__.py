"""What the sub-commands of `vidu-gateway` do; `gateway.cli` says how they are called."""
