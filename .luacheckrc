-- What `make check` asks of the Lua in gateway/store/scripts. tests/check_lua.py adds the parts that a file may use.
std = "lua51"
read_globals = { "redis", "cjson", "cmsgpack", "bit", "P" } -- what Redis and the library give to a function
not_globals = { "io", "os", "print", "require" } -- and what Redis takes away
max_line_length = false
