#!/usr/bin/env python3
"""独立验证一次抽样：只用 Python 自带的库，与 callqa 不共用代码。

用法：python3 verify_draw.py 抽样框文件 方案.json nonce_a nonce_b
输出：每行一通：工号、层、样本/递补、次序、call_id、排序值；首行起为哈希、承诺与种子，供与月报核对。
"""

import hashlib
import hmac
import json
import sys


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def draw(frame_bytes, plan_bytes, nonce_a, nonce_b):
    """Return (seed, [(agent_no, stratum, kind, position, call_id, rank), ...])."""
    plan = json.loads(plan_bytes)
    quota = plan.get("quota_per_agent") or plan["quota"]
    n_reserves = plan.get("reserves_per_stratum", 3)
    secret = f"callqa-seed/1\n{sha256(frame_bytes)}\n{sha256(plan_bytes)}\n{nonce_a}\n{nonce_b}"
    seed = sha256(secret.encode("utf-8"))
    key = bytes.fromhex(seed)

    strata = {}
    for line in frame_bytes.decode("utf-8").split("\n")[1:]:
        if line:
            call_id, agent_no, stratum = line.split("\t")[:3]
            message = b"callqa-rank/1\x1f" + call_id.encode("utf-8")
            rank = hmac.new(key, message, hashlib.sha256).hexdigest()
            strata.setdefault(agent_no, {}).setdefault(stratum, []).append((rank, call_id))

    rows = []
    for agent_no in sorted(strata):
        own = strata[agent_no]
        take = {name: min(quota.get(name, 0), len(calls)) for name, calls in own.items()}
        left = sum(quota.values()) - sum(take.values())
        while left > 0 and any(len(own[name]) > take[name] for name in own):
            best = None
            for name in ("normal", "callback", "risk"):
                if name in own and (best is None or len(own[name]) - take[name] > len(own[best]) - take[best]):
                    best = name
            take[best] += 1
            left -= 1
        for name in ("risk", "callback", "normal"):
            for index, (rank, call_id) in enumerate(sorted(own.get(name, []))):
                n = take.get(name, 0)
                if index < n:
                    rows.append((agent_no, name, "sample", index + 1, call_id, rank))
                elif index < n + n_reserves:
                    rows.append((agent_no, name, "reserve", index - n + 1, call_id, rank))
    return seed, rows


def main(arguments):
    if len(arguments) != 4:
        sys.stderr.write(__doc__)
        return 2
    with open(arguments[0], "rb") as stream:
        frame_bytes = stream.read()
    with open(arguments[1], "rb") as stream:
        plan_bytes = stream.read().rstrip(b"\r\n")
    seed, rows = draw(frame_bytes, plan_bytes, arguments[2], arguments[3])
    out = ["frame_hash\t" + sha256(frame_bytes), "plan_hash\t" + sha256(plan_bytes)]
    for name, nonce in zip("ab", arguments[2:], strict=False):
        out.append("commit_{}\t{}".format(name, sha256(("callqa-nonce/1:" + nonce).encode("utf-8"))))
    out.append("seed\t" + seed)
    out += ["\t".join(str(value) for value in row) for row in rows]
    sys.stdout.buffer.write(("\n".join(out) + "\n").encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
