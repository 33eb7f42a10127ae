-- revoke_key: revokes a client key.
--
-- KEYS  key: its record
-- ARGV  at: when, ms; audit: as of `log.write_audit`, JSON
--
-- A repeat changes nothing.
--
-- Returns 1 | 0: it was revoked before | -1: there is no such key
local key = KEYS[1]
local at, audit = ARGV[1], ARGV[2]
if redis.call('EXISTS', key) == 0 then return -1 end
if redis.call('HSETNX', key, 'revoked_at', at) == 0 then return 0 end
log.write_audit(call.now_ms(), cjson.decode(audit), 'tenant', redis.call('HGET', key, 'tenant'))
return 1
