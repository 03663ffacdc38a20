#ifndef FIRMWARE_H
#define FIRMWARE_H

_Noreturn void firmware_main(void); /* the link's loop; the port's start-up code ends here */
#endif
