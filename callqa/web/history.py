"""Audit entries as a sentence for the page. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from callqa.store.tables import AuditEntry

ACTION_LABELS = {
    "call.play": "播放录音",
    "call.preload": "评分页预先载入录音开头（未播放）",
    "call.export": "导出通话列表",
    "call.delete": "删除通话内容",
    "call.deleted": "通话内容已全部删除",
    "call.revive": "重新导入删除过的通话",
    "call.hold": "保全通话",
    "call.hold_lift": "解除保全",
    "call.show_private": "查看转写中的完整号码",
    "call.export_audio": "导出录音",
    "search.export": "导出检索结果",
    "search.private": "按号码检索转写",
    "search.reindex": "重建检索索引",
    "call.transcribe": "要求重新转写",
    "transcript.again": "要求重新转写一批通话",
    "transcript.open": "打开转写更正（号码完整显示）",
    "transcript.correct": "更正转写",
    "vocabulary.accept": "收词进词表",
    "vocabulary.refuse": "不收一个词",
    "vocabulary.remove": "从词表删词",
    "call.check": "要求重新预评",
    "call.link": "要求重新关联",
    "call.attribute": "要求重新判定归属",
    "ticket_link.accept": "确认工单关联",
    "ticket_link.reject": "否定工单关联",
    "confidential.mark": "列为保密件",
    "confidential.lift": "解除保密",
    "confidential.view": "查看保密件",
    "coaching.write": "写辅导记录",
    "coaching.sign": "签阅辅导记录",
    "action.open": "列入整改",
    "action.note": "跟进整改",
    "action.done": "整改完成",
    "action.dropped": "整改不再进行",
    "action.reopened": "重新打开整改",
    "case.add": "列入案例库",
    "case.remove": "移出案例库",
    "case.export": "导出案例库",
    "agent.leave": "办理离职",
    "evaluation.open": "开始评分",
    "evaluation.save": "暂存评分",
    "evaluation.submit": "提交评分",
    "evaluation.revise": "修改评分",
    "evaluation.export": "导出评分列表",
    "evaluation.release": "发布评分",
    "evaluation.take_over": "接手草稿",
    "evaluation.acknowledge": "坐席确认评分",
    "evaluation.lapse": "逾期视为确认",
    "evaluation.appeal": "申诉",
    "evaluation.withdraw": "撤回申诉",
    "evaluation.decide": "裁定申诉",
    "evaluation.finalize": "评分定稿",
    "evaluation.fatal_confirmed": "第二人确认致命项",
    "evaluation.reassign": "评分随归属改给另一位坐席，重新等待确认",
    "evaluation.fatal_refused": "第二人不认可致命项",
    "sampling.freeze": "冻结抽样框",
    "sampling.commit": "提交承诺",
    "sampling.reveal": "揭示并抽取",
    "sampling.reserve": "启用递补",
    "sampling.blind_commit": "公布盲评随机串的承诺",
    "sampling.blind_reveal": "公布盲评随机串与盲评卡",
    "evaluation.second_look": "提交复测或校准评分",
    "rubric.publish": "发布评分标准",
    "rubric.discard": "丢弃标准草稿",
    "rubric.trial": "试跑评分标准",
    "calibration.create": "发起校准",
    "calibration.open": "公布校准比对",
    "sampling.void_ask": "提请作废抽样框",
    "sampling.void_drop": "撤回或不同意作废抽样框",
    "sampling.void": "作废抽样框",
    "call.import": "导入录音",
    "cdr.reconcile": "核对交换机话单",
    "call.listen_in": "实时监听",
    "call.listen": "开始实时监听",
    "call.listen_end": "结束实时监听",
    "recording.pause": "暂停录音",
    "recording.resume": "继续录音",
    "desk.trunks": "修改中继",
    "desk.dial_plan": "修改拨号方案",
    "desk.routing": "修改来电路由",
    "desk.realm": "修改认证域",
    "prompt.save": "上传提示音",
    "prompt.remove": "删除提示音",
    "followup.reached": "回拨：记为已联系上",
    "followup.tried": "回拨：记一次未通",
    "followup.given_up": "放弃回拨",
    "followup.not_needed": "记为不必回拨",
    "followup.reopened": "重新列为待回拨",
    "followup.assign": "指派回拨",
    "followup.export": "导出未接来电回拨",
    "call.export_pcap": "导出原始媒体",
    "import.mapping": "修改通话清单的列对应",
    "ticket.import": "导入工单",
    "ticket.export": "导出工单",
    "roster.import": "导入排班",
    "agent.add": "登记坐席人员",
    "seat.add": "登记席位",
    "seat.provision": "换发话机密码并下载配置",
    "seat.sign_in": "签入",
    "seat.sign_out": "签出",
    "account.create": "建立账号",
    "account.password": "修改密码",
    "account.reset": "重设密码",
    "account.deactivate": "停用账号",
    "account.activate": "启用账号",
    "session.sign_in": "登录",
    "session.sign_out": "退出",
    "rubric.load": "装载评分标准",
    "rubric.refuse": "评分标准有误，未装载",
    "ingest.fault": "故障",
    "spool.free": "清理已归档的原始媒体",
    "report.publish": "生成月度质检报告",
    "report.text": "填写月度报告文字",
    "report.export": "下载月度报告",
}


SAYS_WHY = frozenset({"ingest.fault"})  # actions whose entry carries a sentence for people


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One act: when, who, what, on what."""

    sequence: int
    at_ms: int
    actor: str
    action: str
    subject: str


def say_history(entry: AuditEntry, names: Mapping[str, str]) -> HistoryLine:
    """An audit entry in words; an action without a label shows its code. names: user name -> display name."""
    action = ACTION_LABELS.get(entry.action, entry.action)
    if entry.action in SAYS_WHY and entry.detail.get("message"):
        action = f"{action}：{entry.detail['message']}"
    if entry.detail.get("done") is False:
        action = f"{action}（没有办成）"
    actor = "系统" if entry.actor == "system" else entry.actor
    if name := names.get(entry.actor):
        actor = f"{name}（{entry.actor}）"
    return HistoryLine(entry.sequence, entry.at_ms, actor, action, entry.subject)
