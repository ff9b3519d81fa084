-- Lines as operations carry them.
local lines = {}

-- "<n> <partition sku quantity expected version or ''>…": lines of a request, whose levels will be needed.
function lines.versioned(batch, take)
  local all = {}
  for index = 1, tonumber(take()) do
    local line = { number = tonumber(take()), sku = take(), quantity = tonumber(take()), expected = tonumber(take()) }
    reading.want_level(batch.slots[line.number], line.sku)
    all[index] = line
  end
  return all
end

-- "<n> <sku quantity>…": lines of a hold.
function lines.of_hold(take)
  local all = {}
  for index = 1, tonumber(take()) do all[index] = { sku = take(), quantity = tonumber(take()) } end
  return all
end
