-- One partition in one run: its keys, what was read, what must be written.
local slots = {}

local KEYS_PER_PARTITION = 8

function slots.new(keys, position, number)
  local base = (position - 1) * KEYS_PER_PARTITION
  return {
    number = number, stock = keys[base + 1], records_key = keys[base + 2], records_before_key = keys[base + 3],
    live_key = keys[base + 4], ended_key = keys[base + 5], ended_before_key = keys[base + 6],
    deadlines_key = keys[base + 7], events_key = keys[base + 8],
    levels = {}, wanted_levels = {}, records = {}, wanted_records = {}, holds = {}, wanted_holds = {},
    dirty = {}, new_records = {}, touched_holds = {}, look_at = {},
    log = {}, log_count = 0, swept = 0, swept_out = false, overdue = false,
  }
end
