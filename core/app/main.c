#include <signal.h>

#include "app/verb.h"

int
main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	return verb_main(argc, argv);
}
