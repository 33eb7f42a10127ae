-- register(KEYS = {endpoint, the tenant's index of endpoints}, ARGV = {order})
-- order: {name, fields = {}, unset = {field, ...}, wish, wanted = key, most | expect = {field = value or ""}, slots,
--         heal}
--
-- Writes an endpoint: a new one (`most`: how many the tenant may have), or one that is still as expected as it is to
-- be. The types that any of the tenant's endpoints wants are kept beside, for scripts that make no event which nobody
-- wants. `heal`: what was found out of its health counts no more.
--
-- Returns "written" | "full" | "changed" | "missing"
local order = cjson.decode(ARGV[1])
local there = redis.call('EXISTS', KEYS[1]) == 1
if order.most then
  if not there and redis.call('HLEN', KEYS[2]) >= order.most then return 'full' end
else
  if not there then return 'missing' end
  local done = true -- asked again because the answer was lost
  for field, value in pairs(order.fields) do done = done and redis.call('HGET', KEYS[1], field) == value end
  for _, field in ipairs(order.unset) do done = done and redis.call('HEXISTS', KEYS[1], field) == 0 end
  if done then
    if order.heal then heal_lane(order.name) end
    return 'written'
  end
  for field, value in pairs(order.expect) do
    if (redis.call('HGET', KEYS[1], field) or '') ~= value then return 'changed' end
  end
end
write(KEYS[1], order.fields)
for _, field in ipairs(order.unset) do redis.call('HDEL', KEYS[1], field) end
redis.call('HSET', KEYS[2], order.name, order.wish)
if order.slots then
  redis.call('HSET', P .. 'deliver:caps', order.name, order.slots)
else
  redis.call('HDEL', P .. 'deliver:caps', order.name)
end
if order.heal then heal_lane(order.name) else reactivate('deliver', order.name) end
note_wanted(KEYS[2], order.wanted)
return 'written'
