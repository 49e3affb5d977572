module tradingengine.io/devcluster/tools/metrics-server

go 1.26.0

require sigs.k8s.io/metrics-server v0.9.0

tool (
	sigs.k8s.io/metrics-server/cmd/metrics-server
)

// One version of the Kubernetes libraries in all groups: they share the build cache then.
replace (
	k8s.io/api => k8s.io/api v0.36.3
	k8s.io/apimachinery => k8s.io/apimachinery v0.36.3
	k8s.io/apiserver => k8s.io/apiserver v0.36.3
	k8s.io/client-go => k8s.io/client-go v0.36.3
	k8s.io/component-base => k8s.io/component-base v0.36.3
	k8s.io/component-helpers => k8s.io/component-helpers v0.36.3
	k8s.io/kms => k8s.io/kms v0.36.3
	k8s.io/metrics => k8s.io/metrics v0.36.3
	k8s.io/kubelet => k8s.io/kubelet v0.36.3
	k8s.io/streaming => k8s.io/streaming v0.36.3
	k8s.io/cri-api => k8s.io/cri-api v0.36.3
	k8s.io/kube-aggregator => k8s.io/kube-aggregator v0.36.3
)
