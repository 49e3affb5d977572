module tradingengine.io/devcluster/tools/pause

go 1.26.0
