-- Answers. A kept answer becomes the key's record; the text of an applied one waits for the stream entry's id.
-- Applied: "ok <n> <on hand held version event>…" in the order of the request's lines; verbs on holds name each change,
-- "ok <n> <sku quantity on hand held version event>…", and add their hold.
local answer = {}

function answer.refuse(text)
  return { text = text, kept = true }
end

function answer.undecided(text)
  return { text = text, kept = false }
end

function answer.ok(changes)
  return { changes = changes, text = false, kept = true }
end

-- With more words after the changes.
function answer.ok_with(changes, tail)
  return { changes = changes, text = false, kept = true, tail = tail }
end

-- Of a verb on a hold.
function answer.ok_hold(changes, one)
  return { changes = changes, text = false, kept = true, tail = hold.tell(one), named = true }
end

-- "<word> <n> <item>…"
function answer.list(word, items)
  return answer.refuse(word .. ' ' .. digits.of(#items) .. ' ' .. table.concat(items, ' '))
end

-- The same, not remembered.
function answer.unkept(word, items)
  return answer.undecided(word .. ' ' .. digits.of(#items) .. ' ' .. table.concat(items, ' '))
end

local function event_of(change)
  return change.event or books.event_id(change.slot, change.index)
end

-- To be called after the events are written.
function answer.text(one)
  if one.text then return one.text end
  local changes = one.changes
  if not changes then
    -- A single sale is its own answer.
    one.text = 'ok 1 ' .. one.balance .. ' ' .. books.event_id(one.slot, one.index)
    return one.text
  end
  if #changes == 1 and not one.tail then
    one.text = 'ok 1 ' .. changes[1].balance .. ' ' .. event_of(changes[1])
    return one.text
  end
  local parts = { 'ok ' .. digits.of(#changes) }
  for _, change in ipairs(changes) do
    if one.named then parts[#parts + 1] = change.sku .. ' ' .. digits.of(change.quantity) end
    parts[#parts + 1] = change.balance .. ' ' .. event_of(change)
  end
  one.text = table.concat(parts, ' ') .. (one.tail or '')
  return one.text
end
