-- tell(KEYS = {a hash}, ARGV = {changes, kind, field, value, ...})
-- changes: {field = value, or "" to remove it}
--
-- Writes what an operator changed and notes it among the operators' events, in the same step. Without changes it
-- is the note alone.
--
-- Returns 1
for field, value in pairs(cjson.decode(ARGV[1])) do
  if value == '' then
    redis.call('HDEL', KEYS[1], field)
  else
    redis.call('HSET', KEYS[1], field, value)
  end
end
ops_event(now_ms(), unpack(ARGV, 2))
return 1
