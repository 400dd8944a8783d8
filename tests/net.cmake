# SPDX-License-Identifier: Apache-2.0
df_test(network SOURCES support_network.c LINK df_models df_graph)
df_test(fold SOURCES support_network.c LINK df_models df_graph)
df_test(plan SOURCES support_device.c support_network.c support_gradient.c LINK df_net df_models)
df_test(stack SOURCES support_device.c support_network.c support_gradient.c LINK df_net df_models)
df_test(record SOURCES support_device.c support_network.c support_gradient.c LINK df_net df_models LABELS quick threads)
df_test(nodes SOURCES support_device.c support_network.c support_gradient.c LINK df_net df_models)
df_test(train SOURCES support_device.c support_network.c LINK df_net df_models)
df_test(train_nodes SOURCES support_device.c support_network.c LINK df_net df_models)
