"""From stored units back to records: what every store's `read` has in common.

A unit is `core.records.frame` of the records that one run committed together, stored under the number of its first
record. This module knows neither files nor SQL.
"""

from __future__ import annotations

from collections.abc import Iterable

from podium.core.errors import SchemaTooNew, StoreCorrupt
from podium.core.records import FORMAT, Record, Started, decode_frame


def records_after(run_id: str, after: int, units: Iterable[tuple[int, int, bytes]]) -> list[Record]:
    """The records after number `after`, from `(first, count, frame)` units in order; the first holds `after + 1`.

    Raises StoreCorrupt when a number is missing or a unit cannot be read, SchemaTooNew when the run needs a newer
    reader.
    """
    found: list[Record] = []
    extend = found.extend
    expected = 0
    for first, count, body in units:
        records = decode_frame(body)
        if expected == 0 and first <= after + 1:
            expected = first
        if first != expected or len(records) != count:
            raise StoreCorrupt(f"run {run_id}: the journal has a gap before record {max(first, expected)}")
        expected = first + count
        if first <= after:
            records = records[after + 1 - first :]
        extend(records)
    if found and type(found[0]) is Started and found[0].reads > FORMAT:
        raise SchemaTooNew(
            f"run {run_id} needs a reader of journal format {found[0].reads}, this Podium reads {FORMAT}: upgrade it"
        )
    return found
