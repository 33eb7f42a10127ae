-- pause_lane: pauses a lane: nothing of it is dispatched for a time.
--
-- KEYS  any key of ours
-- ARGV  role, lane, for_ms or "": until it is resumed; pause, JSON: {asked, reason, audit: as of `log.write_audit`} if
--       an operator pauses it, or ""
--
-- Waiting work stays in it, and work in progress goes on. `asked`: a unique id of the request. A repeat changes
-- nothing, like a pause without an end for a reason that it has already.
--
-- Returns 1 | 0: it was so before
local role, lane, for_ms, pause = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, till = call.now_ms(), '+inf'
if for_ms ~= '' then till = now + tonumber(for_ms) end
if pause ~= '' then
  pause = cjson.decode(pause)
  local known = redis.call('HGET', P .. role .. ':pauses', lane)
  if known then
    known = cjson.decode(known)
    local endless = till == '+inf' and redis.call('ZSCORE', P .. role .. ':parked', lane) == 'inf'
    local same = known.by == pause.audit.by and known.reason == pause.reason
    if known.asked == pause.asked or (endless and same) then return 0 end
  end
end
lane_pauses.pause(role, lane, till)
if pause ~= '' then
  local by = { at = now, by = pause.audit.by, reason = pause.reason, asked = pause.asked }
  redis.call('HSET', P .. role .. ':pauses', lane, cjson.encode(by))
  log.write_audit(now, pause.audit)
end
return 1
