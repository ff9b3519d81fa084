-- What is to be done about one SKU on one channel, stored as
-- "<attempts> <token, or -> <version claimed> <since, ms or 0> <sure> <first attempt, ms or 0> <last error>".
-- since: while leased the oldest change after the claim; while dead the oldest unconfirmed one.
-- sure: 1 the channel shows what it confirmed last; 0 it may show something else; 2 leased, and to be told again after this call;
-- 3 the same, for nothing but a refused sale.
local work = {}

-- Scores of a due set from here on (this and ms) are told when nothing live is due; beyond any ms of this century.
work.LATER = 10000000000000

-- A number that a channel has confirmed is told again for a refused sale no sooner than this after: else what a flash sale
-- refuses would have every channel called without pause.
work.RETELL_PAUSE_MS = 1000

-- Always answers a table; a text that does not parse is a SKU nobody is sure about.
function work.read(text)
  local attempts, token, claimed, since, sure, first_ms, last_error =
    string.match(text or '', '^(%d+) (%S+) (%d+) (%d+) ([0-3]) (%d+) (.*)$')
  if not attempts then
    return { attempts = '0', token = '-', claimed = '0', since = '0', sure = text and '0' or '1', first_ms = '0', error = '' }
  end
  return {
    attempts = attempts, token = token, claimed = claimed, since = since, sure = sure, first_ms = first_ms, error = last_error,
  }
end

function work.write(one)
  return one.attempts .. ' ' .. one.token .. ' ' .. one.claimed .. ' ' .. one.since .. ' ' .. one.sure .. ' ' .. one.first_ms
    .. ' ' .. one.error
end

function work.is_leased(text)
  return text and not string.find(text, '^%d+ %- ')
end

-- Whether it is leased and told again, whatever is answered.
function work.is_again(sure)
  return sure == '2' or sure == '3'
end

-- Version, quantity, whether its listing is paused, and when, as a channel confirmed them last: "<version> <quantity> <paused> <ms>".
function work.confirmed(text)
  local version, quantity, paused, confirmed_ms = string.match(text or '', '^(%d+) (%-?%d+) ([01]) (%d+)')
  return tonumber(version) or 0, tonumber(quantity) or 0, paused == '1', tonumber(confirmed_ms) or 0
end
