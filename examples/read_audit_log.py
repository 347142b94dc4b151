"""Verify an audit log and count its records by kind and reason.

python examples/read_audit_log.py state/decisions --key state/decisions.key
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from edge.audit.reader import read_log
from edge.audit.verify import verify_log
from edge.audit.writer_state import read_keys, read_state


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("log", type=Path, help="folder of segments: decisions or door")
    parser.add_argument("--key", type=Path, help="verification keys; without them only hashes")
    args = parser.parse_args()
    records = read_log(args.log)  # encrypted fields stay `redacted` without the gallery's key
    for record in records[-3:]:
        at = datetime.fromtimestamp(record["wall"], timezone.utc)
        what = record.get("event", record.get("kind"))
        print(f"{record['id']:6}  {at:%Y-%m-%d %H:%M:%S}  {what}  {record.get('reason', '')}")
    kinds = Counter(
        (record.get("verdict") or record.get("event") or record.get("kind"), record.get("reason"))
        for record in records
    )
    for (what, reason), count in kinds.most_common():
        print(f"{count:6} x {what}" + (f" ({reason})" if reason else ""))
    report = verify_log(
        args.log, read_keys(args.key) if args.key else (), state=read_state(args.log)
    )
    for finding in report.findings:
        print(f"finding: {finding}")
    print(f"{len(records)} records, {len(report.findings)} findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    raise SystemExit(main())
