"""Files that people upload: name and bytes, with a bound."""

from fastapi import UploadFile

from callqa.errors import ImportFileError
from callqa.web.guard import MAX_BODY_BYTES


def read_upload(file: UploadFile) -> tuple[str, bytes]:
    """(file name, content). Raise ImportFileError when there is no file, it is empty or too large."""
    data = file.file.read(MAX_BODY_BYTES + 1)
    if not file.filename:
        raise ImportFileError("请先选择文件")
    if not data:
        raise ImportFileError(f"文件“{file.filename}”是空的")
    if len(data) > MAX_BODY_BYTES:
        raise ImportFileError(f"文件“{file.filename}”超过 {MAX_BODY_BYTES // 2**20} MB；请拆分后再导入")
    return file.filename.replace("\\", "/").rsplit("/", 1)[-1][:200], data
