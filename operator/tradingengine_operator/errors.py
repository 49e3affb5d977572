"""Errors of the operator. Each says what is wrong and how a person mends it; none ever holds a secret."""

from __future__ import annotations


class OperatorError(Exception):
    """Root of the operator's own errors; `mend` is one sentence that tells a person what to do."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend


class ApiError(OperatorError):
    """The API server refused a call, or could not be reached (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed soon."""
        return self.status in {0, 408, 429} or self.status >= 500


class NotFoundError(ApiError):
    """The object or the kind is not there (404)."""


class ConflictError(ApiError):
    """Somebody changed the object in between, or it exists already (409, or a failed JSON Patch test)."""


class ForbiddenError(ApiError):
    """The operator's role does not allow it (403)."""


class UnreadError(OperatorError):
    """Objects of a kind cannot be read, so that nothing may be concluded from their absence.

    `refused`: the API server does not let the operator, or knows no such kind; otherwise it may be known soon.
    """

    def __init__(self, plural: str, why: str, *, refused: bool = False) -> None:
        super().__init__(
            f"{plural} of this namespace cannot be read: {why}",
            mend="give the operator its Role and RoleBinding back (helm upgrade), or mend the API server",
        )
        self.why = why
        self.refused = refused


class ApiServerSlowError(OperatorError):
    """What a release stands on could not be seen to in the time that judging it leaves."""


class LeaseLostError(OperatorError):
    """A write was asked for while the Lease was too old to be sure that no other operator writes."""


class ControlError(OperatorError):
    """A pod's control API did not answer, or refused."""


class SilentPodError(ControlError):
    """A pod's control API did not answer at all: it hangs, is gone, or cannot be reached."""


class TokenRefusedError(ControlError):
    """A pod's control API answered that it knows another token (401)."""


class MetricsError(OperatorError):
    """Prometheus did not answer."""


class RecordError(OperatorError):
    """A release record cannot be read, or is missing."""


class GatewayApiMissingError(OperatorError):
    """The cluster knows no HTTPRoute."""


class RouteTakenError(OperatorError):
    """An HTTPRoute of our name belongs to another controller."""


class RouteContestedError(OperatorError):
    """The HTTPRoute is rewritten by others all the time."""


class RouteRefusedError(OperatorError):
    """The API server finds the HTTPRoute invalid; the message has its own words."""


class NameTakenError(OperatorError):
    """A child's name belongs to an object that is not this engine's, and is never taken over."""


class ChildLeavingError(OperatorError):
    """A child of a deleted engine of the same name is still there, and goes by itself."""


class CalendarError(OperatorError):
    """A trading calendar is missing, or cannot be read."""
