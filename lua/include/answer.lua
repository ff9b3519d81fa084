-- Answers. A kept answer becomes the key's record; the text of an applied one waits for the stream entry's id.
-- Applied: "ok <n> <on hand held version event>…" in the order of the request's lines; verbs on holds name each change,
-- "ok <n> <sku quantity on hand held version event>…", and add their hold.
local answer = {}

function answer.refuse(text)
  return { text = text, kept = true, field = false, fingerprint = false }
end

function answer.undecided(text)
  return { text = text, kept = false }
end

function answer.ok(changes, tail, named)
  return {
    changes = changes, tail = tail or '', named = named, kept = true, text = false, field = false, fingerprint = false,
  }
end

-- "<word> <n> <item>…"
function answer.list(word, items)
  return answer.refuse(word .. ' ' .. #items .. ' ' .. table.concat(items, ' '))
end

-- To be called after the events are written.
function answer.text(one)
  if one.text then return one.text end
  if #one.changes == 1 and not one.named then
    local change = one.changes[1]
    one.text = 'ok 1 ' .. change.balance .. ' ' .. (change.event or books.event_id(change.slot, change.index)) .. one.tail
    return one.text
  end
  local parts = { 'ok ' .. #one.changes }
  for _, change in ipairs(one.changes) do
    local event = change.event or books.event_id(change.slot, change.index)
    if one.named then parts[#parts + 1] = change.sku .. ' ' .. change.quantity end
    parts[#parts + 1] = change.balance .. ' ' .. event
  end
  one.text = table.concat(parts, ' ') .. one.tail
  return one.text
end
