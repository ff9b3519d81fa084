-- Whole numbers as text. Printing a number costs more than anything else here, and `..` prints it as a float, which costs twice
-- as much. Quantities and indices are mostly the same few: each number is printed once in a run.
local digits = {}

local format, printed = string.format, {}

function digits.of(number)
  local text = printed[number]
  if not text then
    text = format('%d', number)
    printed[number] = text
  end
  return text
end
