-- log.lua: a shared part. Ops events, audit entries, and timings.
local log = {}

local OPS_KEPT = 10000 -- the newest ops events
local TENANT_OPS, TENANT_OPS_MS = 20, 3600000
local AUDIT_KEPT = 1000000 -- audit entries
local BOUNDS = { -- ms; the same as in gateway/store/histograms.py
  5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 120000, 300000, 600000, 1800000, 3600000,
  7200000, 21600000,
}

-- Adds an ops event to {gw}:ops:events, oldest first.
function log.ops_event(now, kind, ...)
  redis.call('XADD', P .. 'ops:events', 'MAXLEN', '~', OPS_KEPT, '*', 'kind', kind, 'at', now, ...)
end

-- The same for what a tenant can cause again and again: at most TENANT_OPS of a kind per tenant and hour. The last one
-- says that more are not shown until the hour is over.
function log.tenant_ops_event(now, kind, tenant, ...)
  local shown = P .. 'tenant:' .. tenant .. ':shown:' .. kind
  local count = redis.call('INCR', shown)
  if count == 1 then redis.call('PEXPIRE', shown, TENANT_OPS_MS) end
  if count < TENANT_OPS then
    log.ops_event(now, kind, 'tenant', tenant, ...)
  elseif count == TENANT_OPS then
    log.ops_event(now, kind, 'tenant', tenant, 'muted_ms', redis.call('PTTL', shown), ...)
  end
end

-- Counts one duration in {gw}:timings: for each name the number per bucket, and the sum in ms.
function log.record_timing(name, ms)
  local bucket = 'inf'
  for _, bound in ipairs(BOUNDS) do
    if ms <= bound then
      bucket = bound
      break
    end
  end
  counters.add(P .. 'timings', name .. '|' .. bucket, 1)
  if ms >= 1 then counters.add(P .. 'timings', name .. '|sum', math.floor(ms)) end
end

-- Counts one more of `name` (`metric|label`) for the metrics, in {gw}:tally.
function log.tally(name)
  counters.add(P .. 'tally', name, 1)
end

-- Adds an audit entry to {gw}:audit, oldest first: who (the id of a key) and by which request. Trimmed only by age
-- (`trim_audit`), except for a limit that should never be reached.
function log.add_audit_entry(act, by, request, ...)
  redis.call('XADD', P .. 'audit', 'MAXLEN', '~', AUDIT_KEPT, '*', 'act', act, 'by', by, 'request', request, ...)
end

-- In the step of an operator's act: adds `entry` = {act, by, request, fields = {field, text, ...}} to the audit, and
-- the same as an ops event. `...`: more fields.
function log.write_audit(now, entry, ...)
  local fields = entry.fields
  for _, more in ipairs({ ... }) do fields[#fields + 1] = more end
  log.add_audit_entry(entry.act, entry.by, entry.request, unpack(fields))
  log.ops_event(now, entry.act, 'by', entry.by, unpack(fields))
end

return log
