"""consil refine with relaxation data alone: rigid domains oriented in the frame of their tumbling."""
