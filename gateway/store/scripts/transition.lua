-- transition(KEYS = {record}, ARGV = {order, body})
-- order: what `move` takes (records.lua), and
--   holder   = {role, ticket, ring}            only the newest dispatch of the ticket may do this
--   after    = {give_back = {role, ticket, due in ms or nil}, due = {role, ticket, in_ms}, hold = {role, ticket, lease_ms}}
--              done when the record moved or the event was a repeat that is not absorbed
--   leave    = {{role, ticket}, ...}           done unless the record goes on: not when fenced, nor when an event
--                                              was refused in a state that is not final
--   owed     = what `make_deliveries` takes    done when the record moved; `body` is the event's
--   tally    = {name, ...}                     counted whatever the record said, unless fenced
--   dispatch = {role = limits}, read = true: return the record too
--
-- The one way in which a record changes state: the move and everything that follows from it in one durable step,
-- so that no crash can fall between "completed" and "owed".
--
-- Returns {outcome, from, to, record as a flat list or {}}; outcome as of `move`, or "stale": not the holder.
local order = cjson.decode(ARGV[1])
local now = now_ms()
local holder = order.holder
if holder and not holds(holder[1], holder[2], holder[3]) then return { 'stale', '', '', {} } end
local outcome = move(KEYS[1], order, now)
local result = outcome[1]
if result ~= 'fenced' then
  if result == 'moved' or result == 'repeated' then
    local after = order.after or {}
    local back, due = after.give_back, after.due
    if back then give_back(back[1], back[2], now, back[3] and now + back[3]) end
    if due then set_due(due[1], due[2], now + due[3]) end
    if after.hold then extend(after.hold[1], after.hold[2], after.hold[3], now) end
  end
  if result ~= 'refused' or order.final[outcome[3]] then
    for _, gone in ipairs(order.leave or {}) do leave(gone[1], gone[2]) end
  end
  if result == 'moved' and order.owed then make_deliveries(order.owed, ARGV[2]) end
  for _, name in ipairs(order.tally or {}) do redis.call('HINCRBY', P .. 'tally', name, 1) end
  dispatch_all(order.dispatch or {}, now)
end
outcome[4] = order.read and redis.call('HGETALL', KEYS[1]) or {}
return outcome
