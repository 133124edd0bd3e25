--- reasons: every stable reason code, with one sentence and what unblocks it.
-- A step may only use codes listed here (a spec reads the sources); people and alerts rely on them.
local M = {}

---@type table<string, {text: string, hint: string}>
M.all = {
  -- any kind
  Paused = { text = "The Cluster is paused: nothing is changed.", hint = "set spec.paused to false on the Cluster" },
  Suspended = { text = "Compute is suspended: pods are gone, disks are kept.",
    hint = "set spec.suspendAction.suspendCompute to false on the Cluster" },
  Suspending = { text = "Pods are being stopped; disks are kept.", hint = "it ends by itself" },
  NotSynced = { text = "A list it relies on has not been read from the API server yet.",
    hint = "wait; if it lasts, look at the operator's permissions and /readyz" },
  PolicyError = { text = "A policy failed; the step that asked is held.",
    hint = "correct the policy named in the message" },
  PolicyDenied = { text = "A policy said no.", hint = "see the policy; a person may open the gate for a time" },
  ClusterMissing = { text = "The Cluster named in spec.cluster does not exist.",
    hint = "create it, or correct the name" },
  ClusterDeleting = { text = "The Cluster is being deleted.", hint = "it ends by itself" },
  ForeignObject = { text = "An object with the wanted name belongs to somebody else.",
    hint = "rename the group, or delete the object named in the message" },
  Terminating = { text = "An object that is needed again is still being deleted.",
    hint = "it ends by itself, unless a finalizer of another holds it" },
  InvalidSpec = { text = "The spec can not be carried out as written.",
    hint = "correct the field named in the message" },

  -- cluster
  WaitingForGroups = { text = "There is no PDGroup or no TiKVGroup yet.",
    hint = "create them with spec.cluster.name" },
  WaitingForPD = { text = "PD does not answer yet.", hint = "see the PD objects of the cluster" },
  GroupsNotReady = { text = "Some groups are not ready.", hint = "see the groups named in the message" },
  DeletingTiKV = { text = "TiKV groups go first.", hint = "it ends by itself" },
  DeletingPD = { text = "TiKV is gone; PD goes now.", hint = "it ends by itself" },
  PDHistoryChanged = { text = "PD is not the cluster it was; nothing is removed or failed over.",
    hint = "find out which PD answers; a person must confirm" },
  StoresUnavailable = { text = "More stores are away than the replicas can bear.",
    hint = "bring back the stores that are Down" },
  PDUnknown = { text = "PD can not be asked now; steps that need it wait, pods are still managed.",
    hint = "see the PD pods; nothing is lost meanwhile" },
  PDNoLeader = { text = "PD has no leader.", hint = "a majority of PD members must run" },

  -- groups
  Founding = { text = "The first PD members found the cluster together.",
    hint = "a majority of their pods must start" },
  FoundingForbidden = { text = "A cluster id is recorded, so PD may not be founded anew.",
    hint = "bring back the PD disks, or delete the disks of the old cluster" },
  MembersNotHealthy = { text = "A PD member joins only when all others are healthy.",
    hint = "see the members named in the message" },
  MemberJoining = { text = "One PD member joins at a time.", hint = "see the member named in the message" },
  ScalingOut = { text = "Instances are being added.", hint = "it ends by itself" },
  InstancesNotReady = { text = "Some instances are not ready yet.", hint = "see the instances named in the message" },
  ScaleInWaiting = { text = "There are more instances than wanted; removing them safely comes with a later version.",
    hint = "raise spec.replicas again, or wait for the version" },
  UpdateWaiting = { text = "The template changed; restarting instances in order comes with a later version.",
    hint = "restore the template, or wait for the version" },
  LastStores = { text = "The last TiKV group of a living cluster can not drain anywhere.",
    hint = "delete the Cluster, or create another TiKVGroup first" },
  StoresNeedPD = { text = "PD may not go while stores live.", hint = "delete the Cluster, or its TiKV groups first" },
  DeletingInstances = { text = "The group waits for its instances to go.", hint = "see the instances" },
  OrdinalsTaken = { text = "Ordinals are held by old claims or store records.",
    hint = "higher ordinals are used" },

  -- instances
  WaitingForURL = { text = "The Cluster has no PD address yet.", hint = "create a PDGroup" },
  ConfigInvalid = { text = "spec.config is not valid TOML.", hint = "correct the line named in the message" },
  ConfigManaged = { text = "spec.config sets keys that the operator manages.",
    hint = "remove the keys named in the message" },
  ClaimForeign = { text = "A claim with the wanted name belongs to another cluster or instance.",
    hint = "delete the claim if its data is not needed, or restore the cluster that it belongs to" },
  ClaimRetired = { text = "A claim of this name was retired: its store was removed for good.",
    hint = "delete the claim, or remove its retired label if you know better" },
  VolumeShrink = { text = "A volume can not be made smaller.",
    hint = "raise spec.volumes[].storage, or replace the instance" },
  VolumeClassFixed = { text = "The class of an existing claim can not be changed.", hint = "replace the instance" },
  Starting = { text = "The pod is starting.", hint = "it ends by itself" },
  PodPending = { text = "The pod can not be placed on a node.", hint = "see the scheduler's message" },
  PodNotReady = { text = "The pod runs but is not ready.", hint = "see the pod's log" },
  ContainerWaiting = { text = "A container does not start.", hint = "see the container's message" },
  PodFailed = { text = "The pod ended for good and is made again on the same disks.",
    hint = "it ends by itself" },
  PodStopping = { text = "The pod is being stopped.", hint = "it ends by itself, unless its node is gone" },
  NotRegistered = { text = "The store has not registered with PD yet.", hint = "see the pod's log" },
  NotAMember = { text = "PD does not list the member yet.", hint = "see the pod's log" },
  MemberUnhealthy = { text = "PD says the member is not healthy.", hint = "see the pod's log" },
  StoreNotUp = { text = "PD does not call the store Up.", hint = "see the pod; failover acts by its own limits" },
  StoreIdentity = { text = "PD knows another store id at this address than the one recorded.",
    hint = "a person must look: the disk may have been wiped" },
  MustDrain = { text = "A store of a living cluster is drained before it goes; draining comes with a later version.",
    hint = "delete the Cluster, or wait for the version" },
  MustLeave = { text = "A member of a living cluster leaves PD before it goes; that comes with a later version.",
    hint = "delete the Cluster, or wait for the version" },
  StoppingPod = { text = "The pod must be gone before its disks are touched.",
    hint = "it ends by itself, unless its node is gone" },
  DeletingClaims = { text = "Claims are being deleted, as whenDeleted says.",
    hint = "it ends by itself, unless a finalizer of another holds them" },
}

function M.get(code)
  return M.all[code] or error("reason without a sentence: " .. tostring(code), 2)
end

return M
