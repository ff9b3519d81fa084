-- resolve: says what a key was answered, and burns a key that was never used.
local resolve = { reads_records = true }

function resolve.parse() end

function resolve.apply(_, op, found)
  if not found then return answer.refuse('burnt') end
  if found.fingerprint == '-' then return answer.undecided('burnt') end
  return { found = found, kept = false }
end
