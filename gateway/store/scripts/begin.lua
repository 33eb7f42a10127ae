-- begin(KEYS = {record}, ARGV = {role, ticket, ring, lease_ms, field, prefix, ...})
--
-- A worker takes up dispatched work: it must hold the newest dispatch of the ticket, and its lease starts now.
-- Also reads, in the same step, the records that the first one names: {gw}:<prefix><value of field>.
--
-- Returns {} when the ticket is stale, else {record, related, ...} as flat lists
if not holds(ARGV[1], ARGV[2], ARGV[3]) then return {} end
extend(ARGV[1], ARGV[2], tonumber(ARGV[4]), now_ms())
local found = { redis.call('HGETALL', KEYS[1]) }
for i = 5, #ARGV, 2 do
  local name = redis.call('HGET', KEYS[1], ARGV[i])
  found[#found + 1] = name and redis.call('HGETALL', P .. ARGV[i + 1] .. name) or {}
end
return found
