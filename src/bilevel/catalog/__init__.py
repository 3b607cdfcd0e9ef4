"""What is shipped with the program, as package data: tasks, recipes, prompts."""
