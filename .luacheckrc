-- What `make check` asks of the scripts in gateway/store/scripts, as they are linked (tests/check_lua.py).
std = "lua51"
read_globals = { "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit" } -- what Redis gives to a script
not_globals = { "io", "os", "print", "require" } -- and what it takes away
max_line_length = false
ignore = { "612" } -- the linker cuts comments off, not the space before them
