-- Dead letters an operator has in hand, and the entry that tells what became of them.
local letters = {}

-- Takes pairs of a SKU and when it died; each gets its answer: done, to be carried out, or gone or broken, to be left alone.
function letters.take(keys, pairs_given, first)
  local taken, skus = {}, {}
  for index = first, #pairs_given, 2 do
    taken[#taken + 1] = { sku = pairs_given[index], died_ms = pairs_given[index + 1] }
    skus[#skus + 1] = pairs_given[index]
  end
  local dead, texts = server.call('ZMSCORE', keys.dead, unpack(skus)), server.call('HMGET', keys.work, unpack(skus))
  local due, lease = server.call('ZMSCORE', keys.due, unpack(skus)), server.call('ZMSCORE', keys.lease, unpack(skus))
  local levels = server.call('HMGET', keys.stock, unpack(skus))
  server.call('XLEN', keys.events)
  for index, letter in ipairs(taken) do
    letter.balance = string.match(levels[index] or '', '^(%-?%d+ %d+ %d+) ')
    letter.work, letter.is_due, letter.is_leased = work.read(texts[index]), due[index], lease[index]
    letter.answer = dead[index] ~= letter.died_ms and 'gone' or letter.balance and 'done' or 'broken'
  end
  return taken
end

-- Appends one entry for all that is done, and takes these out of the dead letters; answers what became of each.
function letters.finish(keys, taken, now, cause, kind)
  local lines, skus, answers = { cause }, {}, {}
  for index, letter in ipairs(taken) do
    answers[index] = letter.answer
    if letter.answer == 'done' then
      lines[#lines + 1] = kind .. ' ' .. letter.sku .. ' 0 0 ' .. letter.balance
      skus[#skus + 1] = letter.sku
    end
  end
  if #skus > 0 then
    redis.call('XADD', keys.events, '*', 't', now, 'e', table.concat(lines, '\n'))
    redis.call('ZREM', keys.dead, unpack(skus))
  end
  return answers
end
