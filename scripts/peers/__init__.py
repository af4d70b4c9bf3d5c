"""The same questions put to Leasegate and to a peer on DynamoDB, on one emulator, in turns."""
