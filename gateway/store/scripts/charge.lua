-- charge: an operator decides what a finished job in suspense cost.
--
-- KEYS  job: its record
-- ARGV  amount: in micro-units, 0: it was not charged; good: as of `money.charge`; audit: as of `log.write_audit`, JSON
--
-- Returns 1 | 0: nothing is in suspense for it
local job = KEYS[1]
local amount, good, audit = tonumber(ARGV[1]), ARGV[2], cjson.decode(ARGV[3])
local now = call.now_ms()
local suspense = money.decide(job, amount, 'operator', good, now)
if not suspense then return 0 end
records.note_history(job, now, 'event', 'charge_decided', 'by', audit.by, 'why', audit.why)
log.write_audit(now, audit, 'suspense', money.whole(suspense))
return 1
