-- parked(KEYS = {any key of ours}, ARGV = {how many})
--
-- The lanes of the deliver role to which nothing is sent for a while, those first that are tried again first. Changes
-- nothing.
--
-- Returns {{lane, until, waiting, tenant or "", url or ""}, ...}
local found, flat = {}, redis.call('ZRANGE', P .. 'deliver:parked', 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #flat, 2 do
  local lane = flat[i]
  local head = redis.call('ZRANGE', P .. 'deliver:lane:' .. lane, 0, 0)[1]
  local endpoint = redis.call('HMGET', P .. 'endpoint:' .. lane, 'tenant', 'url')
  found[#found + 1] = {
    lane,
    flat[i + 1],
    redis.call('ZCARD', P .. 'deliver:lane:' .. lane),
    endpoint[1] or (head and tenant_of(lane, head)) or '',
    endpoint[2] or '',
  }
end
return found
