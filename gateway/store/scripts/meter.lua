-- meter: counts one request of a tenant against its rate.
--
-- KEYS  settings: the tenant's
-- ARGV  tenant, kind: of request, each counted apart; rate: per second, 0 for no limit; burst: at once; look: "1" only
--       tells the allowance
--
-- The tenant's own settings override `rate` and `burst`. Run twice, it counts twice, which only delays the next one.
--
-- Returns {1 | 0: it is too fast, allowance: as of `quotas.meter_rate`}
local settings = KEYS[1]
local tenant, kind, rate, burst, look = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local own = redis.call('HMGET', settings, 'rate', 'burst')
local own_rate, own_burst = own[1], own[2]
local passes, allowance = quotas.meter_rate(tenant, kind, own_rate or rate, own_burst or burst, call.now_ms(), look)
return { passes and 1 or 0, allowance }
