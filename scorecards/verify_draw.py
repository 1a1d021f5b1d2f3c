#!/usr/bin/env python3
"""独立验证一次抽样：只用 Python 自带的库，与 callqa 不共用代码。

用法：python3 verify_draw.py 抽样框文件 方案.json nonce_a nonce_b [盲评随机串]
输出：每行一通：工号、层、样本/递补、次序、call_id、排序值；首行起为哈希、承诺与种子，供与月报核对。
给出盲评随机串时另列盲评承诺与盲评卡（样本的 10%，四舍五入）；启用过递补的，盲评随被替换的那一通走。
文件不对时用中文说明原因，退出码为 2。
"""

import hashlib
import hmac
import json
import sys

STRATA = ("normal", "callback", "risk")


class WrongFile(Exception):
    """A file cannot be what it should be; the text says why, in Chinese."""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def read_file(path, what):
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as e:
        reason = "文件不存在" if isinstance(e, FileNotFoundError) else "请检查它是不是文件、有没有读取权限"
        raise WrongFile(f"{what} {path} 读不了：{reason}") from e


def read_plan(plan_bytes):
    """Return (quota of each stratum, reserves per stratum). Raise WrongFile."""
    try:
        plan = json.loads(plan_bytes)
    except ValueError as e:
        raise WrongFile(
            "方案文件不是 JSON；请用抽检页下载的“方案”文件，不要用 sampling.yaml，也不要与抽样框对调"
        ) from e
    if not isinstance(plan, dict):
        raise WrongFile("方案文件应是一个 JSON 对象（以 { 开头）")
    quota = plan.get("quota_per_agent") or plan.get("quota")
    if not isinstance(quota, dict) or not quota:
        raise WrongFile("方案文件没有每人配额 quota_per_agent（或 quota）")
    for name, n in quota.items():
        if name not in STRATA:
            raise WrongFile(f"方案文件的配额里有不认识的层“{name}”；只能是 {'、'.join(STRATA)}")
        if not is_count(n):
            raise WrongFile(f"方案文件的配额 {name} 应为不小于 0 的整数，现为 {json.dumps(n, ensure_ascii=False)}")
    n_reserves = plan.get("reserves_per_stratum", 3)
    if not is_count(n_reserves):
        raise WrongFile("方案文件的 reserves_per_stratum 应为不小于 0 的整数")
    return quota, n_reserves


def read_frame(frame_bytes):
    """Return [(call_id, agent_no, stratum), ...]. Raise WrongFile."""
    try:
        lines = frame_bytes.decode("utf-8").split("\n")
    except UnicodeDecodeError as e:
        raise WrongFile("抽样框文件不是 UTF-8 文本；请重新下载，不要用表格软件另存") from e
    if not lines[0].startswith("callqa-frame/1\t"):
        raise WrongFile("抽样框文件首行不是 callqa-frame/1；请用抽检页下载的“抽样框”文件，不要与方案对调")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if line:
            cells = line.split("\t")
            if len(cells) < 3 or cells[2] not in STRATA:
                raise WrongFile(f"抽样框文件第 {number} 行不完整或层不认识；请重新下载，不要用表格软件另存")
            rows.append(tuple(cells[:3]))
    return rows


def draw(frame_bytes, plan_bytes, nonce_a, nonce_b):
    """Return (seed, [(agent_no, stratum, kind, position, call_id, rank), ...])."""
    quota, n_reserves = read_plan(plan_bytes)
    secret = f"callqa-seed/1\n{sha256(frame_bytes)}\n{sha256(plan_bytes)}\n{nonce_a}\n{nonce_b}"
    seed = sha256(secret.encode("utf-8"))
    key = bytes.fromhex(seed)

    strata = {}
    for call_id, agent_no, stratum in read_frame(frame_bytes):
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
            for name in STRATA:
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


def blind(seed, secret, calls):
    """The lines of the blind cards: a tenth of the sample, half up, by a key of seed and secret."""
    key = hashlib.sha256(f"callqa-blind-key/1\n{seed}\n{secret}".encode()).digest()
    ranked = sorted(
        calls, key=lambda call: hmac.new(key, b"callqa-blind/1\x1f" + call.encode("utf-8"), "sha256").digest()
    )
    lines = ["blind_commit\t" + sha256(("callqa-blind/1:" + secret).encode("utf-8"))]
    return lines + ["blind\t" + call for call in sorted(ranked[: (len(calls) + 5) // 10])]


def main(arguments):
    if len(arguments) not in (4, 5):
        sys.stderr.write(__doc__)
        return 2
    try:
        frame_bytes = read_file(arguments[0], "抽样框文件")
        plan_bytes = read_file(arguments[1], "方案文件").rstrip(b"\r\n")
        seed, rows = draw(frame_bytes, plan_bytes, arguments[2], arguments[3])
    except WrongFile as e:
        sys.stderr.write(f"{e}\n")
        return 2
    out = ["frame_hash\t" + sha256(frame_bytes), "plan_hash\t" + sha256(plan_bytes)]
    for name, nonce in zip("ab", arguments[2:4], strict=False):
        out.append("commit_{}\t{}".format(name, sha256(("callqa-nonce/1:" + nonce).encode("utf-8"))))
    out.append("seed\t" + seed)
    out += ["\t".join(str(value) for value in row) for row in rows]
    if len(arguments) == 5:
        out += blind(seed, arguments[4], [row[4] for row in rows if row[2] == "sample"])
    sys.stdout.buffer.write(("\n".join(out) + "\n").encode("utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
