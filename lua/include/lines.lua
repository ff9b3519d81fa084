-- Lines as operations carry them.
local lines = {}

-- "<n> <partition sku quantity expected version or ''>…": lines of a request, whose levels will be needed.
function lines.versioned(batch, take)
  local all = {}
  for index = 1, tonumber(take()) do
    local number, sku, quantity, expected = batch.numbers[take()], take(), take(), take()
    all[index] = {
      number = number, sku = sku, quantity = tonumber(quantity), expected = expected ~= '' and tonumber(expected) or nil,
      slot = false, balance = false, index = false,
    }
    reading.want_level(batch.slots[number], sku)
  end
  return all
end

-- "<n> <sku quantity>…": lines of a hold.
function lines.of_hold(take)
  local all = {}
  for index = 1, tonumber(take()) do all[index] = { sku = take(), quantity = tonumber(take()) } end
  return all
end
