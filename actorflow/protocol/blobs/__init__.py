"""What a job brings that is too large for messages: who has it, who is sent it, and when it goes."""
