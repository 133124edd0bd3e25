#include "kube/verdict.h"

enum verdict
verdict_of_list(const struct err *e)
{
	switch (e->code) {
	case ERR_FORBIDDEN:
	case ERR_NOT_FOUND:
		return VERDICT_DENIED;
	case ERR_EXPIRED:
	case ERR_TOO_NEW:
	case ERR_PROTOCOL: /* an answer that can not be: the next one comes from the source itself
			    */
		return VERDICT_QUORUM;
	case ERR_UNAUTHORIZED:
		return VERDICT_LOGIN;
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_EXISTS:
	case ERR_CONFLICT:
	case ERR_THROTTLED:
	case ERR_UNAVAILABLE:
	case ERR_TIMEOUT:
	case ERR_TOO_LARGE:
	case ERR_CANCELLED:
	case ERR_REFUSED:
	case ERR_UNSUPPORTED:
	case ERR_INTERNAL:
		return VERDICT_RESUME;
	}
	return VERDICT_LIST;
}

enum verdict
verdict_of_stream(const struct err *e, bool begun)
{
	bool answered = e->status != 0; /* else the connection failed or was cut */

	switch (e->code) {
	case ERR_FORBIDDEN:
	case ERR_NOT_FOUND:
		return VERDICT_DENIED;
	case ERR_EXPIRED:
		return VERDICT_EXPIRED;
	case ERR_TOO_NEW:
	case ERR_PROTOCOL:
		return VERDICT_QUORUM;
	case ERR_UNAUTHORIZED:
		return VERDICT_LOGIN;
	case ERR_THROTTLED:
		return VERDICT_RESUME;
	case ERR_UNAVAILABLE:
		if (begun && e->status == 500)
			return VERDICT_INTERNAL;
		return answered ? VERDICT_LIST : VERDICT_RESUME;
	case ERR_TIMEOUT:
		return begun && !answered ? VERDICT_RESUME : VERDICT_LIST;
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_EXISTS:
	case ERR_CONFLICT:
	case ERR_TOO_LARGE:
	case ERR_CANCELLED:
	case ERR_REFUSED:
	case ERR_UNSUPPORTED:
	case ERR_INTERNAL:
		return VERDICT_LIST;
	}
	return VERDICT_LIST;
}
