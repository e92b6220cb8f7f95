-- Accounts of budgets, what calls that are not over hold on them, and what was reported of spending outside runs. `usd` is
-- picodollars. `charges` are the accounts of a hold with their limits, encoded. Made when the first budget is used.
CREATE TABLE budgets (
  scope TEXT PRIMARY KEY, usd INT, tokens INT, calls INT, held_usd INT, held_tokens INT, held_calls INT
) WITHOUT ROWID;
CREATE TABLE holds (
  run INT, key TEXT, attempt INT, usd INT, tokens INT, calls INT, charges BLOB, PRIMARY KEY (run, key, attempt)
) WITHOUT ROWID;
CREATE TABLE spendings (n INTEGER PRIMARY KEY, at REAL, session TEXT, row BLOB);
CREATE INDEX spendings_at ON spendings (at);
