#ifndef APP_VERBS_H
#define APP_VERBS_H
/*
 * verbs: the list of verbs; each lives in the file of its name. The order is that of --help.
 */
#include "app/verb.h"

extern const struct opt run_opts[], playground_opts[], simulate_opts[], status_opts[],
	explain_opts[], plan_opts[], check_opts[], replay_opts[], none_opts[], change_opts[],
	replace_opts[], evict_opts[], hold_opts[], scale_in_opts[], rollout_opts[], recover_opts[];
int run_main(struct args *a);
int playground_main(struct args *a);
int simulate_main(struct args *a);
int status_main(struct args *a);
int explain_main(struct args *a);
int plan_main(struct args *a);
int check_main(struct args *a);
int replay_main(struct args *a);
int scale_in_main(struct args *a);
int restart_main(struct args *a);
int rollout_main(struct args *a);
int replace_main(struct args *a);
int evict_main(struct args *a);
int hold_main(struct args *a);
int release_main(struct args *a);
int pause_main(struct args *a);
int suspend_main(struct args *a);
int resume_main(struct args *a);
int recover_main(struct args *a);
int version_main(struct args *a);
int completion_main(struct args *a);

#define VERB_RUN                                                                                 \
	{                                                                                        \
		"run", "the controller manager: watches, reconciles, serves health and metrics", \
			"",                                                                      \
			"In a pod it uses its ServiceAccount; elsewhere a kubeconfig. SIGTERM "  \
			"finishes what is\n"                                                     \
			"under way and gives the lease back, SIGHUP reloads scripts.",           \
			"  tikv-operator run --kubeconfig ~/.kube/config --namespace db",        \
			run_opts, true, run_main                                                 \
	}
#define VERB_PLAYGROUND                                                                            \
	{                                                                                          \
		"playground", "a Kubernetes API with simulated nodes, PD and TiKV; kubectl works", \
			"",                                                                        \
			"Prints one line on stdout when it is ready. Everything lives in memory "  \
			"and on loopback.",                                                        \
			"  tikv-operator playground --demo\n"                                      \
			"  tikv-operator playground --write-kubeconfig /tmp/kc &\n"                \
			"  kubectl --kubeconfig /tmp/kc get tikv-all",                             \
			playground_opts, false, playground_main                                    \
	}
#define VERB_SIMULATE                                                                              \
	{                                                                                          \
		"simulate", "deterministic simulation of the shipped code under faults", "", NULL, \
			"  tikv-operator simulate --seed 7 --schedules 1000", simulate_opts,       \
			false, simulate_main                                                       \
	}
#define VERB_STATUS                                                                           \
	{                                                                                     \
		"status", "the tree Cluster, groups, instances: phase, reason, progress",     \
			"[CLUSTER]", NULL,                                                    \
			"  kubectl tikv status basic\n  kubectl tikv status -w", status_opts, \
			true, status_main                                                     \
	}
#define VERB_EXPLAIN                                                                            \
	{                                                                                       \
		"explain", "why an object waits, since when, and what would unblock it",        \
			"KIND/NAME",                                                            \
			"Also for pods, claims, volumes, config maps, services and Jobs: what " \
			"they are about, and\n"                                                 \
			"the object that they belong to.",                                      \
			"  kubectl tikv explain tikv/basic-0\n"                                 \
			"  kubectl tikv explain pvc/data-basic-tikv-0",                         \
			explain_opts, true, explain_main                                        \
	}
#define VERB_RECOVER                                                                               \
	{                                                                                          \
		"recover", "after a lost majority: PD, or stores; a person's word is needed",      \
			"pd CLUSTER | unsafe-stores CLUSTER [STORE...]",                           \
			"Both lose what only the lost disks had. Without --confirm (or the ids "   \
			"typed "                                                                   \
			"on a terminal) nothing\n"                                                 \
			"is changed: what would be done is printed. pd lets one member go on "     \
			"alone, "                                                                  \
			"with its cluster id\n"                                                    \
			"and ids; unsafe-stores has PD give stores up that will never come back, " \
			"by its online recovery.\n"                                                \
			"PD is asked directly: in a pod of the cluster, or through --connect-to.", \
			"  kubectl tikv recover pd basic --survivor basic-0\n"                     \
			"  kubectl tikv recover unsafe-stores basic 4 5 --confirm 4,5",            \
			recover_opts, true, recover_main                                           \
	}
#define VERB_PLAN                                                                            \
	{                                                                                    \
		"plan", "what the scripts would do now, writing nothing", "[KIND/NAME]",     \
			"Reads the live cluster and prints the plan of every object. With "  \
			"--lua-dir the scripts\n"                                            \
			"of that folder are tried.",                                         \
			"  kubectl tikv plan --lua-dir ./my-lua", plan_opts, true, plan_main \
	}
#define VERB_REPLAY                                                                               \
	{                                                                                         \
		"replay", "run a recorded pass again: is the plan the same?", "FILE",             \
			"FILE holds what the operator's /debug/pass/KIND/NAMESPACE/NAME said, - " \
			"is standard input. The\n"                                                \
			"world and the answers of policies come from the record, nothing else "   \
			"is asked. Exit code 0:\n"                                                \
			"the same plan, 1: another one.",                                         \
			"  curl -s localhost:8080/debug/pass/TiKV/db/basic-0 > pass.json\n"       \
			"  tikv-operator replay pass.json --lua-dir ./my-lua",                    \
			replay_opts, false, replay_main                                           \
	}
#define VERB_CHECK                                                                           \
	{                                                                                    \
		"check",                                                                     \
			"check manifests against schemas and rules, and scripts, without a " \
			"cluster",                                                           \
			"FILE|FOLDER...", NULL, "  tikv-operator check examples/basic",      \
			check_opts, false, check_main                                        \
	}
#define VERB_SCALE_IN                                                                          \
	{                                                                                      \
		"scale-in", "chosen instances leave: fewer replicas, these first", "GROUP",    \
			"GROUP is a TiKVGroup, or tikvgroup/NAME or pdgroup/NAME. One patch "  \
			"names them in\n"                                                      \
			"spec.scalePolicy.removeFirst and lowers spec.replicas.",              \
			"  kubectl tikv scale-in basic --instance basic-1 --instance basic-4", \
			scale_in_opts, true, scale_in_main                                     \
	}
#define VERB_RESTART                                                                             \
	{                                                                                        \
		"restart", "restart a group in order, or one instance, gracefully", "KIND/NAME", \
			NULL,                                                                    \
			"  kubectl tikv restart tikvgroup/basic\n"                               \
			"  kubectl tikv restart tikv/basic-1",                                   \
			change_opts, true, restart_main                                          \
	}
#define VERB_ROLLOUT                                                                             \
	{                                                                                        \
		"rollout", "how a change of a group's template goes on, and its history",        \
			"status|history|undo|pause|resume|restart KIND/NAME",                    \
			"status waits until the group is done, as kubectl rollout does: exit "   \
			"code 1 when it is held,\n"                                              \
			"or late. undo leads to the revision before, or --to-revision; sizes, "  \
			"store labels and what\n"                                                \
			"else restarts nothing stay. pause sets the annotation\n"                \
			"core.tikv.org/rollout-paused on the group: what restarts now is "       \
			"finished, nobody else gets\n"                                           \
			"the template, not even what is broken; all else of the group goes on.", \
			"  kubectl tikv rollout status tikvgroup/basic\n"                        \
			"  kubectl tikv rollout history tikvgroup/basic --revision 2\n"          \
			"  kubectl tikv rollout undo tikvgroup/basic",                           \
			rollout_opts, true, rollout_main                                         \
	}
#define VERB_REPLACE                                                                              \
	{                                                                                         \
		"replace", "another instance takes the place of this one, on a new disk",         \
			"KIND/NAME",                                                              \
			"The new one serves before the old one leaves. With --destroyed nothing " \
			"is deleted: it is a\n"                                                   \
			"person's word that the disk is lost, where waiting for it would hold "   \
			"everything.",                                                            \
			"  kubectl tikv replace tikv/basic-1\n"                                   \
			"  kubectl tikv replace tikv/basic-1 --destroyed 14",                     \
			replace_opts, true, replace_main                                          \
	}
#define VERB_EVICT                                                                                 \
	{                                                                                          \
		"evict", "send the leaders of a store away until you call them back", "tikv/NAME", \
			NULL,                                                                      \
			"  kubectl tikv evict tikv/basic-1\n"                                      \
			"  kubectl tikv evict tikv/basic-1 --off",                                 \
			evict_opts, true, evict_main                                               \
	}
#define VERB_HOLD                                                                         \
	{                                                                                 \
		"hold", "leave one instance alone, to look into it", "KIND/NAME", NULL,   \
			"  kubectl tikv hold tikv/basic-1 --why 'gdb attached, ask Ann'", \
			hold_opts, true, hold_main                                        \
	}
#define VERB_RELEASE                                                                           \
	{                                                                                      \
		"release", "the end of hold", "KIND/NAME", NULL,                               \
			"  kubectl tikv release tikv/basic-1", change_opts, true, release_main \
	}
#define VERB_PAUSE                                                                             \
	{                                                                                      \
		"pause", "the operator looks on, and changes nothing of a Cluster", "CLUSTER", \
			NULL, "  kubectl tikv pause basic", change_opts, true, pause_main      \
	}
#define VERB_SUSPEND                                                                         \
	{                                                                                    \
		"suspend", "stop all pods of a Cluster and keep its disks", "CLUSTER", NULL, \
			"  kubectl tikv suspend basic", change_opts, true, suspend_main      \
	}
#define VERB_RESUME                                                                   \
	{                                                                             \
		"resume", "the end of pause and suspend", "CLUSTER", NULL,            \
			"  kubectl tikv resume basic", change_opts, true, resume_main \
	}
#define VERB_VERSION                                                                            \
	{                                                                                       \
		"version", "print the version of the binary and of what it was built with", "", \
			NULL, "  tikv-operator version", none_opts, false, version_main         \
	}
#define VERB_COMPLETION                                                                \
	{                                                                              \
		"completion", "print shell completion", "bash|zsh|fish", NULL,         \
			"  source <(tikv-operator completion bash)", none_opts, false, \
			completion_main                                                \
	}

#endif
