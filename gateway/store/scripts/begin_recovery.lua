-- begin_recovery(KEYS = {recovery, endpoint}, ARGV = {order})
-- order: {name, endpoint = its id, fields = {}, states, since, until, most}
--
-- Notes that what an endpoint was not told between two times is to be sent again; `recover` does it, bit by bit.
-- One at a time for an endpoint; its newest `most` are kept.
--   {gw}:recoveries              hash  endpoint -> the recovery that runs
--   {gw}:lane:<lane>:recoveries  zset  recovery -> when it began
--   {gw}:recovery:<id>           hash  the recovery, with `cursor`: all that was made before it has been seen to
--
-- Returns {"begun", record as a flat list}, or {"deleted" | "disabled" | "under_way"}
local order = cjson.decode(ARGV[1])
local key, lane = KEYS[1], P .. 'lane:' .. order.endpoint
if redis.call('EXISTS', key) == 0 then
  if redis.call('EXISTS', KEYS[2]) == 0 then return { 'deleted' } end
  if redis.call('HEXISTS', KEYS[2], 'disabled_at') == 1 then return { 'disabled' } end
  if redis.call('HSETNX', P .. 'recoveries', order.endpoint, order.name) == 0 then return { 'under_way' } end
  local total, list = 0, lane .. ':recoveries'
  for _, state in ipairs(order.states) do
    total = total + redis.call('ZCOUNT', lane .. ':deliveries:' .. state, order.since, order['until'])
  end
  write(key, order.fields)
  redis.call('HSET', key, 'total', total, 'cursor', order.since)
  redis.call('ZADD', list, order.fields.created_at, order.name)
  redis.call('PERSIST', list)
  for _, old in ipairs(redis.call('ZRANGE', list, 0, -order.most - 1)) do
    redis.call('ZREM', list, old)
    redis.call('DEL', P .. 'recovery:' .. old)
  end
end
return { 'begun', redis.call('HGETALL', key) }
