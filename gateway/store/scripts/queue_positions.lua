-- queue_positions: where tickets of the submit role wait. Changes nothing.
--
-- KEYS  any key of ours
-- ARGV  accounts: as of account_health.lua, JSON; then pairs of ticket, kind of video
--
-- Returns for each ticket the result of `queue_position.of` of queue_position.lua
local accounts, asked = cjson.decode(ARGV[1]), { unpack(ARGV, 2) }
local found, now = {}, call.now_ms()
for i = 1, #asked, 2 do found[#found + 1] = queue_position.of(asked[i], asked[i + 1], accounts, now) end
return found
