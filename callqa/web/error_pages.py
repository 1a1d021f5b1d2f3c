"""Errors as pages: what went wrong, in Chinese, and what to do next. A piece that a page asks for gets one line instead."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from callqa.errors import CallqaError, ConflictError, PermissionDenied, StateError
from callqa.web import deps
from callqa.web.deps import CallDeleted, PageNotFound, PasswordChangeNeeded, SignInNeeded
from callqa.web.guard import STATIC_HEADERS

log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Register one handler for each kind of error."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(PasswordChangeNeeded, _change_password)
    app.add_exception_handler(PageNotFound, _not_found)
    app.add_exception_handler(CallDeleted, _deleted)
    app.add_exception_handler(PermissionDenied, _denied)
    app.add_exception_handler(ConflictError, _conflict)
    app.add_exception_handler(StateError, _conflict)
    app.add_exception_handler(CallqaError, _our_error)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def error_page(request: Request, status: int, title: str, text: str) -> Response:
    """The designed page of one error."""
    if deps.is_fragment(request):
        return HTMLResponse(f'<div class="alert alert-danger mb-0" role="alert">{title}</div>', status_code=status)
    return deps.page(request, "errors/error.html", status_code=status, title=title, text=text, status=status)


def _sign_in(request: Request, _: Exception) -> Response:
    if deps.is_fragment(request):
        return Response(status_code=401)  # the page reloads, and so comes to the sign-in
    return deps.redirect(deps.login_url(request))


def _change_password(request: Request, _: Exception) -> Response:
    return deps.redirect("/account/password", "请先修改密码，再继续使用", "warning")


def _not_found(request: Request, error: Exception) -> Response:
    return error_page(request, 404, "没有找到", str(error) or "这个地址没有内容；它可能已被删除，或链接抄写有误。")


def _deleted(request: Request, error: Exception) -> Response:
    text = f"{error}。留下的是通话的时间、结果、坐席和分数，在通话页可以看到。"
    return error_page(request, 410, "内容已删除", text)


def _denied(request: Request, error: Exception) -> Response:
    return error_page(request, 403, "没有权限", str(error))


def _conflict(request: Request, error: Exception) -> Response:
    return error_page(request, 409, "现在不能这样做", str(error))


def _our_error(request: Request, error: Exception) -> Response:
    return error_page(request, 400, "没有完成", str(error))


def _bad_request(request: Request, error: Exception) -> Response:
    log.info("bad request %s: %s", request.url.path, error)
    return error_page(request, 400, "填写有误", "有字段缺失或格式不对；请返回上一页检查后重试。")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        _look_up_person(request)
        return _not_found(request, Exception())
    if error.status_code == 405:
        return error_page(request, 405, "不能这样打开", "这个地址只接受页面上的按钮提交；请从页面进入。")
    return error_page(request, error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail))


def _unexpected(request: Request, error: Exception) -> Response:
    log.exception("page %s %s failed", request.method, request.url.path, exc_info=error)
    response = error_page(
        request, 500, "系统出错", "这一页没能完成，错误已记入日志。请稍后重试；若再次出现，请告诉管理员发生的时间。"
    )
    # This answer is made outside the middleware that adds them to all others.
    response.headers.update(STATIC_HEADERS)
    return response


def _look_up_person(request: Request) -> None:
    # An unknown address runs no dependency; the page still shows who is signed in.
    deps.find_person(request)
