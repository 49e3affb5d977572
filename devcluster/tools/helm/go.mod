module tradingengine.io/devcluster/tools/helm

go 1.26.0

require helm.sh/helm/v4 v4.2.4

tool (
	helm.sh/helm/v4/cmd/helm
)
