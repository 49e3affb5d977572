"""`/v1/session`."""

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from tradingengine.api.auth import CurrentUser, same_origin_only
from tradingengine.api.problems import TooManyAttemptsError, problems
from tradingengine.api.responses import Json
from tradingengine.api.session import service
from tradingengine.api.session.schemas import Login, Session
from tradingengine.api.state import State
from tradingengine.security import sessions
from tradingengine.security.limits import client_address

router = APIRouter(prefix="/v1/session", tags=["session"])


def _secure(request: Request) -> bool:
    return request.headers.get("x-forwarded-proto", request.url.scheme) == "https"


@router.post(
    "",
    response_model=Session,
    summary="Log in",
    dependencies=[Depends(same_origin_only)],
    responses=problems(service.WrongLoginError, TooManyAttemptsError),
)
async def log_in(request: Request, state: State, body: Login) -> Response:
    """Sets the cookie `te-session`. Five failures within five minutes from one place are borne."""
    peer = request.client.host if request.client is not None else None
    address = client_address(peer, request.headers.get("x-forwarded-for"))
    user, token = await service.log_in(state, body.login, body.password, address)
    cookie = sessions.session_cookie(token, secure=_secure(request))
    return Json(service.session_document(state, user), headers={"set-cookie": cookie})


@router.get("", response_model=Session, summary="Who is logged in")
async def get_session(user: CurrentUser, state: State) -> Response:
    """The person, and the release that serves the page."""
    return Json(service.session_document(state, user))


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    summary="Log out",
    dependencies=[Depends(same_origin_only)],
)
async def log_out(request: Request, state: State) -> Response:
    """Ends the session, if there is one."""
    await service.log_out(state, request.cookies.get(sessions.COOKIE))
    return Response(status_code=204, headers={"set-cookie": sessions.expired_cookie(secure=_secure(request))})
