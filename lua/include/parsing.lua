-- Unpacking what a run is asked to do; what most runs do not need is made here, when one does.
local parsing = {}

local VERBS = {
  d = 'decrement', i = 'restock', r = 'reserve', c = 'commit', l = 'release', e = 'extend', a = 'adjust', s = 'set',
  k = 'resolve', w = 'sweep', p = 'repair',
  q = 'peek', h = 'prepare', j = 'decide', n = 'refuse', t = 'align', o = 'ask', u = 'told',
}
local made = {}

-- The verb of a letter; made when the run first needs it.
function parsing.verb_of(letter)
  local verb = made[letter]
  if not verb then
    make_rest()
    verb = verbs[VERBS[letter]]()
    made[letter] = verb
  end
  return verb
end

function parsing.all(batch, count)
  local ops = {}
  for index = 1, count do
    if string.byte(batch.packed, batch.at) == single.LETTER then
      ops[index] = single.parse(batch)
    else
      make_rest()
      local op, letter, line_count = packed.operation(batch)
      if op.field then
        local wanted = batch.slots[op.home].wanted_records
        wanted[#wanted + 1] = op.field
      end
      local verb = parsing.verb_of(letter)
      verb.parse(batch, op, line_count)
      op.verb, ops[index] = verb, op
    end
  end
  return ops
end
